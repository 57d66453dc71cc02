"""Errors a user can act on. Their text says what is wrong, where, and what to do."""


class JwstDaskError(Exception):
    """Base of all errors that are explained to the user rather than traced."""


class InputError(JwstDaskError):
    """A file, association or exposure cannot be used as it is."""


class ParameterError(JwstDaskError):
    """A parameter has no such name or value."""


class ReferenceError_(JwstDaskError):
    """A reference file is missing or unusable."""


class NoDataOnDetectorError(JwstDaskError):
    """No source falls on this detector (exit status 64)."""


class NotYet(Exception):
    """Pixels were asked for while a run is planned of which they will be a result; what asked has to be planned when they are there."""
