"""Associations: which exposures make which product (JWST documentation, "Associations"; JSON form of levels 2 and 3)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jwst_dask.core.errors import InputError
from jwst_dask.io import names, source
from jwst_dask.io.fits import FitsFile, scan

log = logging.getLogger(__name__)

_RULES_OF_TYPE = {
    "image2": ("Asn_Lv2CoronAsRate Asn_Lv2Image Asn_Lv2ImageNonScience Asn_Lv2ImageSpecial Asn_Lv2FGS Asn_Lv2NRSLAMPImage Asn_Lv2WFSC"),
    "tso-image2": ("Asn_Lv2ImageTSO"),
    "spec2": (
        "Asn_Lv2Spec Asn_Lv2SpecImprint Asn_Lv2SpecSpecial Asn_Lv2MIRLRSFixedSlitNod Asn_MIRLRSTAConfirm Asn_Lv2WFSSNIS "
        "Asn_Lv2WFSSNRC Asn_Lv2WFSSMIR Asn_Lv2NRSMSA Asn_Lv2NRSFSS Asn_Lv2NRSIFUNod Asn_Lv2WFSSParallel"
    ),
    "tso-spec2": ("Asn_Lv2SpecTSO"),
    "nrslamp-spec2": ("Asn_Lv2NRSLAMPSpectral"),
    "ami3": ("Asn_Lv3AMI"),
    "image3": ("Asn_Lv3Image Asn_Lv3ImageBackground Asn_Lv3NRCCoronImage"),
    "coron3": ("Asn_Lv3MIRCoron Asn_Lv3NRCCoron"),
    "spec3": (
        "Asn_Lv3MIRMRS Asn_Lv3MIRMRSBackground Asn_Lv3NRSFSS Asn_Lv3NRSIFU Asn_Lv3NRSIFUBackground Asn_Lv3SlitlessSpectral "
        "Asn_Lv3SpecAux Asn_Lv3SpectralSource Asn_Lv3SpectralTarget Asn_Lv3WFSSNRC Asn_Lv3WFSSNIS Asn_Lv3WFSSMIR"
    ),
    "tso3": ("Asn_Lv3TSO"),
    "wfs-image3": ("Asn_Lv3WFSCMB"),
    "None": ("DMSLevel2bBase DMS_Level3_Base"),
}
RULES: dict[str, str] = {rule: kind for kind, rules in _RULES_OF_TYPE.items() for rule in rules.split()}
"""Names of the association rules -> ``asn_type``."""

SERIES_TYPES = frozenset({"NRS_BRIGHTOBJ", "MIR_LRS-SLITLESS", "NIS_SOSS", "NRC_TSGRISM", "NRC_TSIMAGE"})
"""EXP_TYPE of modes that are (mostly) time series."""


@dataclass(frozen=True)
class Member:
    """One file of a product: its name as written, what it is for, and where it is."""

    expname: str
    exptype: str
    path: str


@dataclass(frozen=True)
class Product:
    """One product and its members."""

    name: str
    members: tuple[Member, ...]

    @property
    def science(self) -> tuple[Member, ...]:
        """Members of exptype science."""
        return tuple(m for m in self.members if m.exptype.lower() == "science")


@dataclass(frozen=True)
class Association:
    """An association as read or made.

    Attributes
    ----------
    products : tuple of Product
    asn_type : str
        ``spec2``, ``tso3``, ...; ``"None"`` where the rule does not say.
    asn_rule, asn_id, asn_pool, program, target : str
    path : str
        The file it was read from.
    """

    products: tuple[Product, ...]
    asn_type: str = "None"
    asn_rule: str = ""
    asn_id: str = "a3001"
    asn_pool: str = "none"
    program: str = "noprogram"
    target: str = "none"
    path: str = ""

    @property
    def science(self) -> tuple[Member, ...]:
        """Science members of all products."""
        return tuple(member for product in self.products for member in product.science)


def asn_type(path: str | os.PathLike[str]) -> str:
    """Type of an association (``spec2``, ``tso3``, ...), its members not looked at; empty if it does not say."""
    return str(_tree(os.fspath(path)).get("asn_type") or "")


def load(path: str | os.PathLike[str], allow_outside: bool = False, also: Sequence[str | os.PathLike[str]] = (),
         first: Sequence[str | os.PathLike[str]] = ()) -> Association:  # fmt: skip
    """Read an association.

    Parameters
    ----------
    path : str
        JSON file, or fsspec URL of one.
    allow_outside : bool
        Accept members outside the association's folder (absolute paths, ``..``, links that lead out, URLs).
    also : sequence of str
        Folders where members that are not beside the association may be (products of an earlier pipeline).
    first : sequence of str
        Folders whose files win over those beside the association.

    Raises
    ------
    InputError
        Not readable, not an association, members that leave the folder, or members that do not exist (all are named).
    """
    name = str(path) if source.is_url(path) else os.path.abspath(os.path.expanduser(os.fspath(path)))
    tree = _tree(name)
    folder, problems, products = name.rsplit("/", 1)[0], [], []
    for number, product in enumerate(tree["products"], start=1):
        members = []
        try:
            listed = [(str(m["expname"]), str(m["exptype"])) for m in product["members"]]
        except (KeyError, TypeError) as error:
            raise InputError(f"{name}: product number {number} is not a list of members with expname and exptype") from error
        for expname, exptype in listed:
            where, problem = _place(folder, expname, allow_outside)
            others = [*first, *(also if problem.endswith("does not exist") else ())]
            made = [str(Path(other) / expname) for other in others if os.path.basename(expname) == expname and (Path(other) / expname).is_file()]
            where, problem = (made[0], "") if made else (where, problem)
            problems += [problem] if problem else []
            members.append(Member(expname, exptype, where))
        if not members:
            raise InputError(f"{name}: product number {number} has no members")
        products.append(Product(str(product.get("name") or names.remove_suffix(members[0].expname)), tuple(members)))
    if problems:
        raise InputError(f"{name}: {'; '.join(dict.fromkeys(problems))}")
    text = {key: str(tree[key]) for key in ("asn_type", "asn_rule", "asn_id", "asn_pool", "program", "target") if tree.get(key) is not None}
    return Association(tuple(products), path=name, **text)


def _tree(name: str) -> dict[str, Any]:
    try:
        if source.is_url(name):
            import fsspec

            with fsspec.open(name, "rt") as stream:
                tree = json.load(stream)
        else:
            tree = json.loads(Path(name).read_text())
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: not a JSON association ({error})") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("products"), list) or not tree["products"]:
        raise InputError(f"{name}: not an association (it has no products)")
    if not all(isinstance(product, dict) for product in tree["products"]):
        raise InputError(f"{name}: not an association (its products are not objects)")
    return tree


def _place(folder: str, expname: str, allow_outside: bool) -> tuple[str, str]:
    """Path of a member, and what is wrong with it ('' if nothing)."""
    if source.is_url(expname):
        return expname, "" if allow_outside else f"member {expname} is outside the association's folder (allow it with --allow-outside)"
    if source.is_url(folder):
        inside = not expname.startswith("/") and ".." not in expname.split("/")
        return f"{folder}/{expname}", "" if inside else f"member {expname} is outside the association's folder"
    where = os.path.normpath(os.path.join(folder, os.path.expandvars(os.path.expanduser(expname)) if allow_outside else expname))
    if not allow_outside and not Path(os.path.realpath(where)).is_relative_to(os.path.realpath(folder)):
        return where, f"member {expname} is outside the association's folder (allow it with --allow-outside)"
    return where, "" if os.path.isfile(where) else f"member {expname} does not exist"


def singleton(path: str | os.PathLike[str], asn_type: str = "None") -> Association:
    """The association of one exposure given alone."""
    name = os.path.abspath(os.fspath(path)) if not source.is_url(path) else str(path)
    member = Member(os.path.basename(name), "science", name)
    return Association((Product(names.remove_suffix(name), (member,)),), asn_type, "singleton", asn_pool="singleton", path="singleton")


def from_list(paths: Iterable[str | os.PathLike[str]], product_name: str | None = None, rule: str | None = None, asn_id: str | None = None,
              exptypes: Sequence[str] | None = None) -> Association:  # fmt: skip
    """Make an association of files.

    Parameters
    ----------
    paths : iterable of str
        Exposures.
    product_name : str, optional
        Name of the level-3 product of all of them. Without it every file becomes a level-2 product of its own.
    rule : str, optional
        Rule name (`RULES`); by default one that fits the files if they can be read, else the base rule of the level.
    asn_id : str, optional
        Such as ``o001`` or ``c1000``; ``a3001`` if not given.
    exptypes : sequence of str, optional
        What each file is for; ``science`` if not given.

    Raises
    ------
    InputError
        No files, a level-3 rule without product name, or an unknown rule.
    """
    files = [str(p) for p in paths]
    if not files:
        raise InputError("an association needs at least one file")
    if rule is not None and rule not in RULES:
        raise InputError(f"{rule} is not an association rule; the rules are {', '.join(RULES)}")
    if product_name is None and rule is not None and "3" in rule:
        raise InputError(f"rule {rule} makes a level-3 association: give its product's name with --product-name")
    kinds = exptypes or ["science"] * len(files)
    members = [Member(f, kind, f if source.is_url(f) else os.path.abspath(f)) for f, kind in zip(files, kinds)]
    if product_name is not None:
        products: tuple[Product, ...] = (Product(product_name, tuple(members)),)
    else:
        products = tuple(Product(names.remove_suffix(m.path), (m,)) for m in members)
    rule = rule or _rule(members, level=3 if product_name is not None else 2)
    parts = names.parse(members[0].path)
    return Association(products, RULES[rule], rule, asn_id or "a3001", program=parts.program if parts else "noprogram")


def _rule(members: list[Member], level: int) -> str:
    """The rule for what the files' headers say; the base rule if they cannot be read or do not agree."""
    base = "DMS_Level3_Base" if level == 3 else "DMSLevel2bBase"
    if any(source.is_url(m.path) or not os.path.isfile(m.path) for m in members):
        return base
    headers = [scan(m.path).header(0) for m in members if m.exptype == "science"]
    series = all(h.get("TSOVISIT") or h.get("EXP_TYPE") in SERIES_TYPES for h in headers)
    types = {str(h.get("EXP_TYPE")) for h in headers}
    if not headers or not series or types - SERIES_TYPES:
        return base
    if level == 3:
        return "Asn_Lv3TSO"
    return "Asn_Lv2ImageTSO" if types == {"NRC_TSIMAGE"} else "Asn_Lv2SpecTSO"


def write(asn: Association, path: str | os.PathLike[str]) -> None:
    """Write an association as JSON. Members below its folder are named relative to it, others by absolute path.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(os.fspath(path)))

    def name(member: Member) -> str:
        if source.is_url(member.path):
            return member.path
        return os.path.relpath(member.path, folder) if Path(member.path).is_relative_to(folder) else member.path

    tree = {
        "asn_type": asn.asn_type, "asn_rule": asn.asn_rule, "version_id": None, "code_version": _version(),
        "degraded_status": "No known degraded exposures in association.", "program": asn.program, "constraints": "No constraints",
        "asn_id": asn.asn_id, "target": asn.target, "asn_pool": asn.asn_pool,
        "products": [{"name": p.name, "members": [{"expname": name(m), "exptype": m.exptype} for m in p.members]} for p in asn.products],
    }  # fmt: skip
    try:
        Path(path).write_text(json.dumps(tree, indent=4) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def _version() -> str:
    from jwst_dask import __version__

    return __version__


@dataclass(frozen=True)
class Segment:
    """One file of an exposure: what its header says of its place in it (numbers from 1)."""

    file: FitsFile
    exposure: str
    detector: str
    mode: tuple[str, ...]
    number: int
    total: int
    first: int
    last: int


def segment(file: FitsFile) -> Segment:
    """Read a segment's place from its headers (and, where they say nothing, from its name)."""
    header, parts = file.header(0), names.parse(file.path)
    keys = ("PROGRAM", "OBSERVTN", "VISIT", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")
    words = [str(header.get(key, "")).strip() for key in keys]
    if not all(words):
        base = names.remove_suffix(file.path)
        words = [base.split("-seg", 1)[0]] if "-seg" in base else [base]
    detector = str(header.get("DETECTOR", parts.detector if parts else "")).strip()
    mode = tuple(str(header.get(key, "")).strip() for key in ("INSTRUME", "EXP_TYPE"))
    nints = file.nints if "SCI" in file else 1
    first = int(header.get("INTSTART") or 1)
    return Segment(file, "_".join(words), detector.upper(), mode, int(header.get("EXSEGNUM") or (parts.segment if parts else 0) or 1),
                   int(header.get("EXSEGTOT") or 0), first, int(header.get("INTEND") or first + nints - 1))  # fmt: skip


def group_segments(files: Iterable[FitsFile]) -> dict[tuple[str, str], list[Segment]]:
    """Segments by (exposure, detector), each list in order of time."""
    groups: dict[tuple[str, str], list[Segment]] = {}
    for file in files:
        one = segment(file)
        groups.setdefault((one.exposure, one.detector), []).append(one)
    return {key: sorted(group, key=lambda s: (s.first, s.number)) for key, group in sorted(groups.items())}


def check_segments(files: Sequence[FitsFile]) -> dict[tuple[str, str], list[Segment]]:
    """Groups of segments that can be processed together; several exposures and detectors are legal.

    Missing segments are reported by a log warning.

    Raises
    ------
    InputError
        A segment twice, overlapping integrations, or different instruments or exposure types.
    """
    groups = group_segments(files)
    every = [one for group in groups.values() for one in group]
    for place, what in enumerate(("instruments", "exposure types")):
        found: dict[str, str] = {}
        for one in every:
            found.setdefault(one.mode[place], os.path.basename(one.file.path))
        if len(found) > 1:
            raise InputError(f"different {what} in one association: {', '.join(f'{value} ({path})' for value, path in found.items())}")
    for (exposure, detector), group in groups.items():
        for a, b in zip(group, group[1:]):
            pair = f"{os.path.basename(a.file.path)} and {os.path.basename(b.file.path)}"
            if a.number == b.number or (a.first, a.last) == (b.first, b.last):
                raise InputError(f"segment {b.number} of exposure {exposure} {detector} is there twice: {pair}")
            if b.first <= a.last:
                both = f"{b.first} to {min(a.last, b.last)}"
                raise InputError(f"integrations {both} of exposure {exposure} {detector} are in two files: {pair}")
        _warn_missing(exposure, detector, group)
    return groups


def _warn_missing(exposure: str, detector: str, group: list[Segment]) -> None:
    there = {one.number for one in group}
    last = max(*(one.total for one in group), *there) if len(group) > 1 else max(group[0].total, group[0].number)
    missing = sorted(set(range(1, last + 1)) - there)
    if missing:
        numbers = ", ".join(map(str, missing))
        log.warning("exposure %s %s: segment%s %s missing", exposure, detector, "s" if len(missing) > 1 else "", numbers)
