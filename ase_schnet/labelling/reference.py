"""Reference methods by their text: ``gfn2-xtb``, ``pyscf:PBE/def2-SVP``, a model, or ``FILE.py:NAME``.

A reference is small and can be sent to other processes; each of them makes its own calculator from it.
"""

from __future__ import annotations

from pathlib import Path

from ase_schnet.labelling.methods import (
    DFT_OPTIONS,
    DFTReference,
    Reference,
    ScriptReference,
    XTBReference,
    engine,
)
from ase_schnet.labelling.model import ModelReference, trained_model
from ase_schnet.labelling.script import digest_of, found_in, split_script
from ase_schnet.model_directories import ModelFileError, lasting_name

__all__ = ["ELECTRONIC_TEMPERATURE_K", "Reference", "read_reference"]

FORMS = (
    "gfn2-xtb, gfn2-xtb:300 (electronic temperature in K), gfn1-xtb, pyscf:FUNCTIONAL/BASIS such as "
    "pyscf:PBE/def2-SVP, a model directory or the name of a shipped model, or FILE.py:NAME (what returns an "
    "ASE calculator)"
)
XTB_METHODS = {"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB"}
#: Bonds break into radicals only with fractional occupations. 5000 K is the usual choice for those (Grimme &
#: Hansen 2015, doi:10.1002/anie.201501887; benchmarks/defaults.md).
ELECTRONIC_TEMPERATURE_K = 5000.0


def read_reference(text: str) -> Reference:
    """Return the reference method that a text names.

    Parameters
    ----------
    text
        ``gfn2-xtb`` or ``gfn1-xtb`` (tblite), with ``:300`` for another electronic temperature in K than
        5000; ``pyscf:FUNCTIONAL/BASIS`` with density fitting, restricted for singlets, where may follow
        ``:exact`` (no density fitting), ``:fine`` (finer integration grid) and ``:uks`` (broken symmetry
        of singlets whose pairs are not stable); a model directory or the name of a shipped model; or
        ``FILE.py:NAME``, where NAME is an ASE calculator, or is called and returns one.

    Raises
    ------
    ValueError
        In one line: the text is none of these, a functional, basis or name is unknown, or tblite or pyscf is
        not installed.
    """
    text = text.strip()
    kind, _, rest = text.partition(":")
    if kind.lower() in XTB_METHODS:
        return _xtb(text, XTB_METHODS[kind.lower()], rest)
    if kind.lower() == "pyscf":
        return _dft(text, rest)
    script = split_script(text)
    if script is not None:
        return _script(*script)
    try:
        model = lasting_name(text)
    except ModelFileError:
        raise ValueError(f"{text!r} is no reference method; known are {FORMS}") from None
    trained = trained_model(model)
    level = f"SchNet {Path(trained.path).name}"
    return ModelReference(model, level, f"model {trained.checksum}", model)


def _xtb(text: str, method: str, temperature: str) -> XTBReference:
    try:
        kelvin = float(temperature) if temperature else ELECTRONIC_TEMPERATURE_K
    except ValueError:
        kelvin = float("nan")
    if not 0 <= kelvin <= 1e5:
        raise ValueError(
            f"{text!r}: what follows the colon is an electronic temperature in K, such as 300"
        )
    level = method if kelvin == ELECTRONIC_TEMPERATURE_K else f"{method} ({kelvin:g} K)"
    engine("ase_schnet.labelling.xtb", "tblite", level)
    return XTBReference(text, level, f"{method} at {kelvin:g} K", method, kelvin)


def _dft(text: str, rest: str) -> DFTReference:
    method, *options = rest.split(":")
    functional, _, basis = (part.strip() for part in method.partition("/"))
    if not functional or not basis:
        raise ValueError(f"{text!r} is not pyscf:FUNCTIONAL/BASIS, such as pyscf:PBE/def2-SVP")
    options = sorted({option.strip().lower() for option in options})
    unknown = [option for option in options if option not in DFT_OPTIONS]
    if unknown:
        raise ValueError(
            f"{text!r}: {unknown[0]!r} is not known; known are :{', :'.join(DFT_OPTIONS)}"
        )
    dft = engine("ase_schnet.labelling.dft", "pyscf", method)
    why = dft.unknown_functional(functional)
    if why is not None:
        raise ValueError(f"pyscf cannot use the functional {functional!r}: {why}")
    if not any(dft.has_basis(basis, symbol) for symbol in ("H", "C", "Fe", "U")):
        raise ValueError(f"pyscf knows no basis {basis!r}")
    identity = f"pyscf {functional}/{basis} {' '.join(options)}".strip().lower()
    level = f"{functional}/{basis}"
    return DFTReference(text, level, identity, functional, basis, tuple(options))


def _script(path: str, name: str) -> ScriptReference:
    digest = digest_of(path)
    found = found_in(path, name, digest)
    level = getattr(found, "level_of_theory", None) or f"{path.rpartition('/')[2]}:{name}"
    return ScriptReference(
        f"{path}:{name}", str(level), f"script {name} {digest}", path, name, digest
    )
