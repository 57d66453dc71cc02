"""Reference files on disk, and the private CRDS cache that selects them without a network."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pprint import pformat
from typing import Any

USEAFTER = "2022-01-01T00:00:00"
MADE = "2022-01-01T00:00:00.000"
AUTHOR = "mock observatory"
CONTEXT = "jwst_0001.pmap"
SERVERLESS = "https://crds-serverless-mode.stsci.edu"
DATE_KEYS = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")
EXTRA_TYPES = ("flat", "bkg", "distortion", "filteroffset", "specwcs", "regions", "msaoper", "pastasoss", "specprofile", "speckernel",
               "ifufore", "ifupost", "ifuslicer", "chromcorr", "area", "pathloss", "barshadow", "fringe", "mrsxartcorr", "photom", "gain",
               "wavelengthrange", "cubepar", "mrsptcorr", "straymask", "fringefreq", "readnoise", "wavecorr", "psf", "apcorr", "extract1d")  # fmt: skip


def freeze(path: Path, date: str) -> None:
    """Replace the time at which a FITS file was written by `date`, so that the same seed gives the same bytes."""
    raw = path.read_bytes()
    begin = raw.index(b"DATE    = '") + 11
    stamp = raw[begin : raw.index(b"'", begin)]
    path.write_bytes(raw.replace(stamp, date[: len(stamp)].ljust(len(stamp), "0").encode()))


@dataclass(frozen=True)
class Reference:
    """A reference file and the dataset values (CRDS parameter -> pattern) that it is for."""

    instrument: str
    reftype: str
    name: str
    keys: dict[str, str]


class Shelf:
    """Writes reference files of one instrument into a CRDS cache folder, and remembers them for the rules.

    Parameters
    ----------
    cache : path
        The folder that ``CRDS_PATH`` will name.
    instrument : str
        ``NIRSPEC`` or ``MIRI``.
    """

    def __init__(self, cache: str | os.PathLike[str], instrument: str) -> None:
        self.cache = Path(cache)
        self.instrument = instrument
        self.folder = self.cache / "references" / "jwst" / instrument.lower()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.made: list[Reference] = []

    def _place(self, reftype: str, extension: str, keys: Mapping[str, str]) -> Path:
        tag = hashlib.sha1(json.dumps(dict(sorted(keys.items()))).encode()).hexdigest()
        name = f"jwst_{self.instrument.lower()}_{reftype}_{int(tag[:6], 16) % 10000:04d}.{extension}"
        self.made.append(Reference(self.instrument, reftype, name, dict(keys)))
        return self.folder / name

    def meta(self, reftype: str, description: str, keys: Mapping[str, str]) -> dict[str, Any]:
        """The metadata that every reference file has, as a tree."""
        exposure = keys.get("META.EXPOSURE.TYPE", "")
        instrument = {"name": self.instrument}
        instrument |= {key.rsplit(".", 1)[1].lower(): value for key, value in keys.items() if key.startswith("META.INSTRUMENT.")}
        meta = {"author": AUTHOR, "pedigree": "SIMULATION", "description": description, "useafter": USEAFTER, "reftype": reftype,
                "telescope": "JWST", "instrument": instrument}  # fmt: skip
        if exposure:
            meta["exposure"] = {"type": exposure.split("|")[0], "p_exptype": exposure.strip("|") + "|"}
        return meta

    def model(self, reftype: str, description: str, model: Any, keys: Mapping[str, str]) -> Path:
        """Save a stdatamodels reference model as FITS."""
        path = self._place(reftype, "fits", keys)
        for name, value in self.meta(reftype, description, keys).items():
            if isinstance(value, dict):
                node = getattr(model.meta, name, None)  # None where the schema has no such metadata: the rules alone select by them
                for field, text in value.items() if node is not None else ():
                    setattr(node, field, text)
            else:
                setattr(model.meta, name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(str(path))
        model.close()
        freeze(path, MADE)
        return path

    def tree(self, reftype: str, description: str, model_type: str, tree: Mapping[str, Any], keys: Mapping[str, str], storage: str = "inline",
             **meta: Any) -> Path:  # fmt: skip
        """Save transforms and numbers as ASDF, arrays in the text unless `storage` says otherwise (tables cannot be)."""
        import asdf

        path = self._place(reftype, "asdf", keys)
        top = {"meta": self.meta(reftype, description, keys) | {"model_type": model_type, "filename": path.name} | meta}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asdf.AsdfFile(top | dict(tree)).write_to(path, all_array_storage=storage)
        return path

    def text(self, reftype: str, description: str, content: Mapping[str, Any], keys: Mapping[str, str]) -> Path:
        """Save as JSON."""
        path = self._place(reftype, "json", keys)
        head = {"reftype": reftype.upper(), "instrument": self.instrument, "telescope": "JWST", "pedigree": "SIMULATION", "author": AUTHOR,
                "description": description, "useafter": USEAFTER, "history": description,
                "exp_type": keys["META.EXPOSURE.TYPE"].split("|")[0]}  # fmt: skip
        path.write_text(json.dumps(head | dict(content), indent=1))
        return path


def write_rules(cache: str | os.PathLike[str], made: list[Reference]) -> str:
    """Write (or extend) the rules of a private cache; returns the name of its context.

    References that were already in the cache stay in its rules.
    """
    cache = Path(cache)
    folder = cache / "mappings" / "jwst"
    folder.mkdir(parents=True, exist_ok=True)
    listing = cache / "references" / "references.json"
    known = [Reference(**entry) for entry in json.loads(listing.read_text())] if listing.exists() else []
    names = {ref.name for ref in made}
    known = [ref for ref in known if ref.name not in names] + made
    listing.write_text(json.dumps([asdict(ref) for ref in known], indent=1))
    types = _all_types() | {ref.reftype for ref in known}
    imaps = {}
    for instrument in sorted({ref.instrument for ref in known}):
        entries = dict.fromkeys(sorted(types), "N/A")
        for reftype in {ref.reftype for ref in known if ref.instrument == instrument}:
            chosen = [ref for ref in known if (ref.instrument, ref.reftype) == (instrument, reftype)]
            entries[reftype] = _rmap(folder, instrument, reftype, chosen)
        imaps[instrument] = f"jwst_{instrument.lower()}_0001.imap"
        header = {"derived_from": "generated", "description": AUTHOR, "instrument": instrument, "mapping": "INSTRUMENT",
                  "observatory": "JWST", "parkey": ("REFTYPE",)}  # fmt: skip
        _mapping(folder / imaps[instrument], header, pformat(entries))
    header = {"derived_from": "generated", "description": AUTHOR, "mapping": "PIPELINE", "observatory": "JWST", "parkey": ("META.INSTRUMENT.NAME",)}
    _mapping(folder / CONTEXT, header, pformat(imaps))
    config = cache / "config" / "jwst"
    config.mkdir(parents=True, exist_ok=True)
    (config / "server_config").write_text(pformat(_server_config()))
    return CONTEXT


def _all_types() -> set[str]:
    """Reference types that any step may ask for, so that a look-up answers N/A rather than fails."""
    import crds

    specs = Path(crds.__file__).parent / "jwst" / "specs"
    names = {path.stem.split("_", 1)[1] for path in specs.glob("*.rmap") if path.stem.startswith(("miri_", "nirspec_", "niriss_", "nircam_"))}
    return names | set(EXTRA_TYPES) | {"pars-targcentroidstep", "pars-badpixselfcalstep", "pars-hlspstep", "pars-persistencestep"}


def _rmap(folder: Path, instrument: str, reftype: str, chosen: list[Reference]) -> str:
    keys = tuple(dict.fromkeys(key for ref in chosen for key in ref.keys))
    cases = {tuple(ref.keys.get(key, "N/A").strip("|") for key in keys): ref.name for ref in chosen}
    cases.setdefault(("N/A",) * len(keys), "N/A")
    lines = []
    for case, name in sorted(cases.items()):
        label = repr(case) if len(case) > 1 else repr(case[0])
        lines.append(f"    {label} : UseAfter({{'{USEAFTER.replace('T', ' ')}' : '{name}'}}),")
    name = f"jwst_{instrument.lower()}_{reftype}_0001.rmap"
    header = {"classes": ("Match", "UseAfter"), "derived_from": "generated", "file_ext": Path(chosen[0].name).suffix, "filekind": reftype.upper(),
              "filetype": reftype.upper(), "instrument": instrument, "mapping": "REFERENCE", "observatory": "JWST", "suffix": reftype,
              "parkey": (keys, DATE_KEYS), "text_descr": reftype}  # fmt: skip
    _mapping(folder / name, header, "Match({\n" + "\n".join(lines) + "\n})")
    return name


def _mapping(path: Path, header: Mapping[str, Any], selector: str) -> None:
    """Write one rules file with the checksum that CRDS expects in it."""
    blank = "0" * 40
    text = f"header = {pformat(dict(header) | {'name': path.name, 'sha1sum': blank})}\n\nselector = {selector}\n"
    rest = "".join(line for line in text.splitlines(keepends=True) if "sha1sum" not in line)
    path.write_text(text.replace(blank, hashlib.sha1(rest.encode()).hexdigest()))


def _server_config() -> dict[str, Any]:
    return {"observatory": "jwst", "status": "cache", "connected": False, "force_remote_mode": False, "operational_context": CONTEXT,
            "edit_context": CONTEXT, "bad_files": "", "bad_files_list": [], "crds_version": {"str": "0"}, "last_synced": "generated",
            "reference_url": {"jwst": ""}, "mapping_url": {"jwst": ""}}  # fmt: skip


def environment(folder: str | os.PathLike[str]) -> dict[str, str]:
    """CRDS variables that make the references in `folder` the ones that are selected, offline."""
    return {"CRDS_PATH": str((Path(folder) / "crds").resolve()), "CRDS_SERVER_URL": SERVERLESS, "CRDS_CONTEXT": CONTEXT}
