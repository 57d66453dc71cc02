"""An exposure before its pixels are read (`Draft`), and a run of its integrations in memory (`Block`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.sizeof import sizeof

if TYPE_CHECKING:
    from jwst_dask.data.slits import SlitSpec
    from jwst_dask.wcs.slitwcs import SlitWcs

CUBES = ("sci", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
"""Arrays with one plane per integration, in file order."""


@dataclass
class Draft:
    """What is known of one exposure (segment) before any pixel is read; steps fill it in, in order, once.

    Attributes
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        The exposure as a datamodel of **one** integration: complete metadata and tables (INT_TIMES with all rows), image
        arrays of zeros, shaped ``(1, y, x)`` (``(y, x)`` for a 2-D rate image). Steps edit ``model.meta`` and slit
        attributes, attach static planes (``model.wavelength``), or replace it by another model class. ``model.meta.wcs``
        is the live gwcs object. Products are laid out from it.
    path : str
        The input file.
    nints : int
        Integrations in the file (1 for a 2-D image).
    spectra : object
        After extract_1d: the TSOMultiSpecModel (or MultiSpecModel) template; each spectral table has one row per
        integration in the product, and one row here.
    extras : dict
        Further models to be saved as they are, by suffix (for example ``interpolatedflat``).
    first : callable
        Gives the first integration as it reaches the step that is being prepared; None while a plan is only printed.
        Of a slit's draft always there: the whole cut-out.
    later : bool
        Pixels are only to come in the same run: `first` would give an error, and a step that can leaves its look at them to `Step.look`.
    members : mapping
        Paths of the association's other members, by type (``background``, ``imprint``, ...).
    slits : list of SlitSpec
        The open slits on the detector, for exposures with many; set by assign_wcs.
    slit : SlitSpec
        Of the draft of one slit's cut-out: the slit. `model` is then a SlitModel with the exposure's metadata and the slit's.
    wcs : SlitWcs
        Of the draft of one slit's cut-out: its WCS (``model.meta.wcs`` is not set).
    shared : dict
        Results that come from several slits, by name (``master_background``).
    steps : mapping
        Alias -> step with its parameters, for steps that apply others.
    quality : dict
        Figures of this slit for the quality table, by column.
    beside : tuple of str
        Folders of the raw exposures that this one was made of in the same run: what goes with them (MSA metafiles) is there.
    folder : str
        Where its products go.
    """

    model: Any
    path: str
    nints: int
    spectra: Any = None
    extras: dict[str, Any] = field(default_factory=dict)
    first: Callable[[], Block] | None = None
    later: bool = False
    log: list[str] = field(default_factory=list)
    members: Mapping[str, list[str]] = field(default_factory=dict)
    slits: list[SlitSpec] | None = None
    slit: SlitSpec | None = None
    wcs: SlitWcs | None = None
    shared: dict[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    folder: str = ""

    @property
    def is_cube(self) -> bool:
        """Whether the exposure has an integration axis."""
        return bool(self.model.data.ndim == 3)

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) of the science array."""
        ny, nx = self.model.data.shape[-2:]
        return int(ny), int(nx)


@dataclass
class Block:
    """Consecutive integrations of one exposure in memory; owned by the task that made it.

    Attributes
    ----------
    arrays : dict of ndarray
        ``sci err var_poisson var_rnoise var_flat``: float32[integration, y, x]; ``dq``: uint32[integration, y, x];
        native byte order, C-contiguous.
    start : int
        Index in the file (from 0) of the first integration of the block, halo not counted.
    halo : (int, int)
        Extra integrations present before and after (a step with a halo trims them: the arrays it returns have none).
    tables : dict of ndarray
        Results with one row per integration: ``"EXTRACT1D"`` is the structured array of spectra.
    y0, row_halo : int, (int, int)
        Of a band of rows of a ramp: the frame's row that the arrays begin with, and rows above and below the band that are there besides.
    group0 : int
        Index of the first group of a ramp that the arrays have.

    Blocks of ramps have ``sci`` float32 and ``groupdq`` uint8[integration, group, y, x], ``pixeldq`` uint32[y, x], and maybe ``zeroframe``
    float32[integration, y, x].
    """

    arrays: dict[str, np.ndarray]
    start: int
    halo: tuple[int, int] = (0, 0)
    tables: dict[str, np.ndarray] = field(default_factory=dict)
    y0: int = 0
    row_halo: tuple[int, int] = (0, 0)
    group0: int = 0

    @property
    def nints(self) -> int:
        """Integrations in the block, halo not counted."""
        return len(self.arrays["sci"]) - sum(self.halo)

    @property
    def rows(self) -> slice:
        """Rows of the file that the block stands for."""
        return slice(self.start, self.start + self.nints)


@sizeof.register(Block)  # type: ignore[untyped-decorator]
def _size(block: Block) -> int:
    return 500 + sum(a.nbytes for a in (*block.arrays.values(), *block.tables.values()))
