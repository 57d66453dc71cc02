"""Astropy transforms translated into chains of elementary operations that `kernels.nirspec_optics` evaluates fast.

Evaluating a compound model of the instrument costs astropy milliseconds however few the points, and memory traffic of
some hundred temporary arrays however many; a chain costs microseconds, and tens of nanoseconds a point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.kernels import nirspec_optics as k

Table = tuple[np.ndarray, np.ndarray]
"""Points, ascending or descending, and values (float[sample] each)."""


@dataclass(frozen=True)
class Program:
    """A chain of operations.

    Attributes
    ----------
    code, constants, tables, starts, outputs, registers
        As `jwst_dask.kernels.nirspec_optics.evaluate` takes them.
    labels : dict
        Places of named constants.
    named_tables : dict
        Numbers of named tables.
    all_tables : tuple of Table
    """

    code: np.ndarray
    constants: np.ndarray
    outputs: np.ndarray
    registers: int
    labels: dict[str, list[int]]
    named_tables: dict[str, int]
    all_tables: tuple[Table, ...]
    tables: np.ndarray
    starts: np.ndarray

    def bind(self, values: dict[str, float], tables: dict[str, Table] | None = None) -> Program:
        """The same chain with other values of named constants and tables (names that it does not have are ignored)."""
        constants = self.constants.copy()
        for name, places in self.labels.items():
            if name in values:
                constants[places] = values[name]
        mine = {self.named_tables[name]: table for name, table in (tables or {}).items() if name in self.named_tables}
        if not mine:
            return replace(self, constants=constants)
        every = tuple(mine.get(number, table) for number, table in enumerate(self.all_tables))
        flat, starts = _flat(every)
        return replace(self, constants=constants, all_tables=every, tables=flat, starts=starts)

    def __call__(self, *values: Any) -> tuple[np.ndarray, ...]:
        """Evaluate; the inputs broadcast, the results have their common shape (float64)."""
        arrays = [np.asarray(value, float) for value in values]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        points = np.empty((len(arrays), int(np.prod(shape))))
        for row, array in zip(points, arrays):
            row.reshape(shape)[...] = array
        result = k.evaluate(self.code, self.constants, self.tables, self.starts, points, self.outputs, self.registers)
        return tuple(row.reshape(shape) for row in result)


def _flat(tables: Sequence[Table]) -> tuple[np.ndarray, np.ndarray]:
    pieces, starts = [np.zeros(0)], [0]
    for points, values in tables:
        step = 1 if len(points) < 2 or points[-1] > points[0] else -1
        pieces += [points[::step], values[::step]]
        starts.append(starts[-1] + 2 * len(points))
    return np.concatenate(pieces).astype(float, copy=False), np.array(starts)


@dataclass
class Writer:
    """Collects operations; registers are numbered as they are written, and shared when the program is finished."""

    inputs: int
    operations: list[tuple[int, int, tuple[int, ...], int, int]] = field(default_factory=list)
    constants: list[float] = field(default_factory=lambda: [0.0])
    labels: dict[str, list[int]] = field(default_factory=dict)
    named_tables: dict[str, int] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    def emit(self, kind: int, sources: Sequence[int] = (), constants: Sequence[float] = (), extra: int = 0, label: str = "") -> int:
        """Append an operation; its output register."""
        if label:
            self.labels.setdefault(label, []).append(len(self.constants))
        out = self.inputs + len(self.operations)
        self.operations.append((kind, out, tuple(sources), len(self.constants) if constants else 0, extra))
        self.constants += map(float, constants)
        return out

    def shift(self, source: int, label: str) -> int:
        """Add a named constant."""
        return self.emit(k.ADD_C, (source,), (0.0,), label=label)

    def scale(self, source: int, factor: float, label: str = "") -> int:
        """Multiply by a constant (that may have a name)."""
        return self.emit(k.MUL_C, (source,), (factor,), label=label)

    def table(self, source: int, table: Table, extrapolate: bool, name: str = "") -> int:
        """Interpolate in a table."""
        if name:
            self.named_tables[name] = len(self.tables)
        self.tables.append(table)
        return self.emit(k.TABLE, (source,), (float(extrapolate),), len(self.tables) - 1)

    def model(self, model: Any, sources: Sequence[int]) -> list[int]:
        """Append an astropy model; its output registers.

        Raises
        ------
        ReferenceError_
            For a model that no reference file of NIRSpec is known to have.
        """
        operator = getattr(model, "op", None)
        if operator == "|":
            return self.model(model.right, self.model(model.left, sources))
        if operator == "&":
            split = model.left.n_inputs
            return self.model(model.left, sources[:split]) + self.model(model.right, sources[split:])
        if operator in _ARITHMETIC:
            pairs = zip(self.model(model.left, sources), self.model(model.right, sources))
            return [self.emit(_ARITHMETIC[operator], pair) for pair in pairs]
        translate = _MODELS.get(type(model).__name__)
        if operator is not None or translate is None:
            raise ReferenceError_(
                f"a NIRSpec reference has a transform {operator or type(model).__name__} ({model.name}), which is not known; "
                f"known are {', '.join(_MODELS)}"
            )
        return translate(self, model, list(sources))

    def finish(self, outputs: Sequence[int]) -> Program:
        """The program that gives these registers; operations that nothing needs are left out."""
        needed, kept = set(outputs), []
        for operation in reversed(self.operations):
            if operation[1] in needed:
                needed.update(operation[2])
                kept.append(operation)
        kept.reverse()
        code, where, registers = _share_registers(kept, self.inputs, set(outputs))
        flat, starts = _flat(self.tables)
        ends = np.array([where[out] for out in outputs])
        constants = np.array(self.constants)
        return Program(code, constants, ends, registers, dict(self.labels), dict(self.named_tables), tuple(self.tables), flat, starts)


def _share_registers(operations: list[Any], inputs: int, outputs: set[int]) -> tuple[np.ndarray, dict[int, int], int]:
    """Operations with a register used again once nothing needs its value any more."""
    last = {source: number for number, operation in enumerate(operations) for source in operation[2]}
    where, free, count = {i: i for i in range(inputs)}, list[int](), inputs
    rows = []
    for number, (kind, out, sources, place, extra) in enumerate(operations):
        places = [where[source] for source in sources]
        # The output gets a register of its own: a polynomial writes it while it still reads its inputs.
        if free:
            where[out] = free.pop()
        else:
            where[out], count = count, count + 1
        free += {where[s] for s in sources if last[s] == number and s not in outputs}
        rows.append([kind, where[out], *places, *[0] * (3 - len(places)), place, extra])
    return np.array(rows, np.int64).reshape(-1, k.COLUMNS), where, count


_ARITHMETIC = {"+": k.ADD, "-": k.SUBTRACT, "*": k.MULTIPLY, "/": k.DIVIDE}


def _polynomial(w: Writer, model: Any, s: list[int]) -> list[int]:
    degree = model.degree
    coefficients = [getattr(model, f"c{i}_{j}").value for j in range(degree, -1, -1) for i in range(degree - j, -1, -1)]
    return [w.emit(k.POLYNOMIAL, s, coefficients, degree)]


def _affine(w: Writer, model: Any, s: list[int]) -> list[int]:
    matrix, offset = np.asarray(model.matrix.value), np.asarray(model.translation.value)
    return [w.emit(k.LINEAR2, s, (*matrix[axis], offset[axis])) for axis in range(2)]


def _rotation2(w: Writer, model: Any, s: list[int]) -> list[int]:
    angle = np.deg2rad(float(np.ravel(model.angle.value)[0]))
    return [w.emit(k.LINEAR2, s, row) for row in ((np.cos(angle), -np.sin(angle), 0.0), (np.sin(angle), np.cos(angle), 0.0))]


def _rotation3(w: Writer, model: Any, s: list[int]) -> list[int]:
    columns = [np.ravel(model(*unit)) for unit in np.eye(3)]
    return [w.emit(k.LINEAR3, s, [column[axis] for column in columns]) for axis in range(3)]


def _about(w: Writer, angle: float, axis: str, s: list[int]) -> list[int]:
    """Direction cosines turned about an axis (radians); the third always follows from the other two."""
    x, y, z = s
    cos, sin = np.cos(angle), np.sin(angle)
    if axis == "x":
        y = w.emit(k.LINEAR2, (y, z), (cos, sin, 0.0))
    elif axis == "y":
        x = w.emit(k.LINEAR2, (x, z), (cos, -sin, 0.0))
    else:
        x, y = w.emit(k.LINEAR2, (x, y), (cos, sin, 0.0)), w.emit(k.LINEAR2, (x, y), (-sin, cos, 0.0))
    return [x, y, w.emit(k.THIRD, (x, y))]


def _to_grating(w: Writer, model: Any, s: list[int]) -> list[int]:
    for angle, axis in zip(np.deg2rad(np.ravel(model.angles.value)), model.axes_order):
        s = _about(w, angle, axis, s)
    return s


def _cosines(w: Writer, model: Any, s: list[int]) -> list[int]:
    length = w.emit(k.LENGTH1, s)
    return [w.emit(k.DIVIDE, (s[0], length)), w.emit(k.DIVIDE, (s[1], length)), w.emit(k.RECIPROCAL, (length,), (1.0,))]


def _from_cosines(w: Writer, model: Any, s: list[int]) -> list[int]:
    return [w.emit(k.DIVIDE, (s[0], s[2])), w.emit(k.DIVIDE, (s[1], s[2]))]


def _grating_angles(w: Writer, model: Any, s: list[int]) -> list[int]:
    wave, alpha, beta = s
    alpha = w.emit(k.LINEAR2, (wave, alpha), (-float(model.groove_density.value) * float(model.spectral_order.value), 1.0, 0.0))
    beta = w.scale(beta, -1.0)
    return [alpha, beta, w.emit(k.THIRD, (alpha, beta))]


def _grating_wavelength(w: Writer, model: Any, s: list[int]) -> list[int]:
    product = w.emit(k.FILL, (), (float(model.groove_density.value) * float(model.spectral_order.value),))
    return [w.emit(k.DIVIDE, (w.emit(k.ADD, s), product))]


def _snell(w: Writer, model: Any, s: list[int]) -> list[int]:
    wave, *cosines = s
    celsius = 273.15
    difference = model.temp - model.tref
    now, then = model.temp - celsius, model.tref - celsius
    warm = [*model.tcoef[:6], now, now - then, then, model.pressure, model.pref]
    glass = [float(difference >= 20), *model.kcoef, *model.lcoef, *(warm if difference >= 20 else [0.0] * 11)]
    index = w.emit(k.INDEX, (wave,), glass)

    def refract(index: int, s: list[int]) -> list[int]:
        x, y = w.emit(k.DIVIDE, (s[0], index)), w.emit(k.DIVIDE, (s[1], index))
        return [x, y, w.emit(k.THIRD, (x, y))]

    inside = _about(w, np.deg2rad(model.prism_angle), "y", refract(index, cosines))
    # Reflected by the back of the prism.
    back = [w.scale(inside[0], -1.0), w.scale(inside[1], -1.0), inside[2]]
    front = _about(w, np.deg2rad(-model.prism_angle), "y", back)
    return refract(w.emit(k.RECIPROCAL, (index,), (1.0,)), front)


def _prism_index(w: Writer, model: Any, s: list[int]) -> list[int]:
    angle = float(np.deg2rad(np.ravel(model.prism_angle.value)[0]))
    sin, cos = np.sin(angle), np.cos(angle)
    sum_ = w.emit(k.LINEAR2, (s[2], s[0]), (1.0, 1 - 2 * sin**2, 0.0))
    return [w.emit(k.HYPOT3, (w.scale(sum_, 1 / (2 * sin * cos)), s[0], s[1]))]


def _tabular(w: Writer, model: Any, s: list[int]) -> list[int]:
    extrapolate = model.fill_value is None
    if model.method != "linear" or model.bounds_error or not (extrapolate or np.isnan(model.fill_value)):
        raise ReferenceError_(f"a NIRSpec reference has a table ({model.name}) that is not interpolated linearly")
    return [w.table(s[0], (np.asarray(model.points[0], float), np.asarray(model.lookup_table, float)), extrapolate)]


def _logical(w: Writer, model: Any, s: list[int]) -> list[int]:
    kind = {"GT": k.ABOVE, "LT": k.BELOW}.get(model.condition)
    if kind is None or not np.isnan(model.value):
        raise ReferenceError_(f"a condition of a NIRSpec transform is not known: {model!r}")
    return [w.emit(kind, s, (model.compareto,))]


def _spherical(w: Writer, model: Any, s: list[int]) -> list[int]:
    lon, lat = s
    cos = w.emit(k.COS, (lat,))
    return [w.emit(k.MULTIPLY, (cos, w.emit(k.COS, (lon,)))), w.emit(k.MULTIPLY, (cos, w.emit(k.SIN, (lon,)))), w.emit(k.SIN, (lat,))]


def _cartesian(w: Writer, model: Any, s: list[int]) -> list[int]:
    x, y, z = s
    lat, lon = w.emit(k.ATAN2, (z, w.emit(k.HYPOT, (x, y)))), w.emit(k.ATAN2, (y, x))
    return [lon if model.wrap_lon_at == 180 else w.emit(k.WRAP, (lon,), (360.0,)), lat]


_MODELS: dict[str, Callable[[Writer, Any, list[int]], list[int]]] = {
    "Identity": lambda w, m, s: s,
    "Mapping": lambda w, m, s: [s[i] for i in m.mapping],
    "Shift": lambda w, m, s: [w.emit(k.ADD_C, s, (float(np.ravel(m.offset.value)[0]),))],
    "Scale": lambda w, m, s: [w.scale(s[0], float(np.ravel(m.factor.value)[0]))],
    "Multiply": lambda w, m, s: [w.scale(s[0], float(np.ravel(m.factor.value)[0]))],
    "Const1D": lambda w, m, s: [w.emit(k.FILL, (), (float(np.ravel(m.amplitude.value)[0]),))],
    "Polynomial2D": _polynomial,
    "AffineTransformation2D": _affine,
    "Rotation2D": _rotation2,
    "RotationSequence3D": _rotation3,
    "Rotation3DToGWA": _to_grating,
    "Unitless2DirCos": _cosines,
    "DirCos2Unitless": _from_cosines,
    "AnglesFromGratingEquation3D": _grating_angles,
    "WavelengthFromGratingEquation": _grating_wavelength,
    "Snell": _snell,
    "RefractionIndexFromPrism": _prism_index,
    "Tabular1D": _tabular,
    "Logical": _logical,
    "SphericalToCartesian": _spherical,
    "CartesianToSpherical": _cartesian,
}
