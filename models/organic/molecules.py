"""Molecules of H, C, N and O made by a rule and a seed, and divided before anything is computed of them.

    python models/organic/molecules.py DIRECTORY        writes DIRECTORY/molecules.csv: part, SMILES

The rule (`Grower`): begin with an atom or a ring of `RINGS`; while heavy atoms are missing, put an atom, a
group of `GROUPS` or a ring onto an atom with free valence, or close a ring of three to six atoms; fill up
with hydrogen. Left out are what `UNLIKELY` says, radicals and ions, the molecules of rMD17 and of the sample
of QM7-X in `EXCLUDED`, and all isomers of C7H10O2. Two molecules are one if they have the same atoms and
bonds, whatever the orders of the bonds: so neither stereoisomers nor Kekulé structures come into two parts.

The part "rings" came later, of a generator of its own: molecules of 9 to 14 heavy atoms that begin with one
of `FUSED` (rings that share a bond, as in naphthalene), of `CONJUGATED`, or with two rings of `AROMATIC`
joined by one of `LINKS`; the rest is as above.
"""

from __future__ import annotations

import csv
import sys
from itertools import product
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from ase_schnet.runtime.files import replaced

SEED = 23
#: Part -> molecules. "group": with a group of `LEFT_OUT`; "larger": of 10 to 14 heavy atoms.
PARTS = {"new": 240, "larger": 160, "group": 180, "train": 12_000, "rings": 1500}
#: Share of molecules of 1, 2, ..., 9 heavy atoms that are tried; small ones run out.
HEAVY = np.array([1, 1, 2, 4, 7, 12, 18, 25, 30]) / 100
LARGEST = 9
ELEMENTS, SHARES = "CNO", (0.64, 0.15, 0.21)
VALENCE = {6: 4, 7: 3, 8: 2}
#: Kekulé structures of rings, and groups that are joined by their first atom.
RINGS = (
    *(
        "C1=CC=CC=C1",
        "C1=CC=NC=C1",
        "C1=CN=CN=C1",
        "C1=CNC=C1",
        "C1=COC=C1",
        "C1=CNC=N1",
        "C1=COC=N1",
    ),
    *(
        "C1=NNC=C1",
        "C1CC1",
        "C1CO1",
        "C1CCC1",
        "C1CCCC1",
        "C1CCOC1",
        "C1CCNC1",
        "C1CCCCC1",
        "C1COCCN1",
    ),
    *("C1CCC=CC1", "C1=CC(=O)C=CO1", "C1CC(=O)NC1", "C1=CC(=O)NC=C1", "C1CNC1"),
)
GROUPS = (
    *(
        "C=O",
        "C(=O)C",
        "C(=O)O",
        "C(=O)OC",
        "OC(=O)C",
        "C(=O)N",
        "C(=O)NC",
        "NC(=O)C",
        "C#N",
        "C#C",
        "C=C",
    ),
    *(
        "O",
        "OC",
        "N",
        "NC",
        "N(C)C",
        "C(C)C",
        "C(C)(C)C",
        "CO",
        "CN",
        "C=NO",
        "C=N",
        "C(=N)N",
        "N=NC",
    ),
    *("NC(=O)N", "OC(=O)N", "[N+](=O)[O-]", "N=C=O", "C=C=C", "C=C=O", "OO", "OOC"),
)
#: What a molecule of "rings" begins with: aromatic rings that share a bond,
FUSED = (
    *("c1ccc2ccccc2c1", "c1ccc2ncccc2c1", "c1ccc2cnccc2c1", "c1ccc2nccnc2c1", "c1ccc2ncncc2c1"),
    *("c1cnc2ncccc2c1", "c1cnc2ncncc2n1", "c1ccc2cnncc2c1", "c1ccc2cccc-2cc1", "c1ccc2[nH]ccc2c1"),
    *("c1ccc2occc2c1", "c1ccc2[nH]cnc2c1", "c1ccc2ocnc2c1", "c1ccc2[nH]ncc2c1", "c1ncc2[nH]cnc2n1"),
    *("c1cnc2[nH]ccc2c1", "c1ccn2ccnc2c1", "c1ccn2cccc2c1", "C1C=Cc2ccccc12", "C1CCc2ccccc12"),
    *("C1CCCc2ccccc12", "C1OCc2ccccc12", "C1Oc2ccccc2O1", "O=C1NCc2ccccc12", "O=C1OCc2ccccc12"),
    *("O=C1NC(=O)c2ccccc12", "O=C1Cc2ccccc2N1", "O=C1C(=O)Nc2ccccc12", "O=C1C=CC(=O)c2ccccc12"),
    *("O=c1ccoc2ccccc12", "O=c1ccc2ccccc2o1", "O=c1cc[nH]c2ccccc12", "O=c1[nH]cnc2ccccc12"),
    *("O=c1[nH]cnc2[nH]cnc12", "O=c1[nH]c(=O)c2[nH]cnc2[nH]1", "c1ccc2c(c1)Cc1ccccc12"),
    *("c1ccc2c(c1)[nH]c1ccccc12", "c1ccc2c(c1)oc1ccccc12", "c1ccc2cc3ccccc3cc2c1"),
    *("c1ccc2c(c1)ccc1ccccc12", "c1ccc2nc3ccccc3cc2c1"),
)
#: aromatic rings with what is in conjugation or in a hydrogen bond with them,
CONJUGATED = (
    *("O=Cc1ccccc1", "O=C(O)c1ccccc1", "O=C(N)c1ccccc1", "C=Cc1ccccc1", "C#Cc1ccccc1"),
    *("N#Cc1ccccc1", "C=Nc1ccccc1", "N=Cc1ccccc1", "CN=Nc1ccccc1", "O=CNc1ccccc1", "O=COc1ccccc1"),
    *("O=CC=Cc1ccccc1", "O=Cc1ccccc1O", "O=C(O)c1ccccc1O", "O=Cc1ccccc1N", "O=CNc1ccc(O)cc1"),
    *("O=Cc1ccco1", "O=Cc1cccnc1", "O=c1cc[nH]c(=O)[nH]1", "O=C1C=CC(=O)C=C1", "O=C1C=CC(=O)N1"),
    *("O=c1cc[nH]cn1", "O=c1cccc[nH]1"),
)
#: and rings joined by a bond or a link. Of each ring the first and the last atom take part in a bond.
AROMATIC = (
    *("c1ccccc1", "c1cccnc1", "c1cnccc1", "c1cncnc1", "c1c[nH]cc1", "c1cocc1", "c1cnoc1"),
    "c1cn[nH]c1",
)
LINKS = ("", "C", "O", "N", "C(=O)", "C=C", "C#C", "C=N", "N=N", "C(=O)N", "C(=O)O", "CO", "CC")
LARGEST_OF_RINGS = 14
#: Groups that no molecule of the training has.
LEFT_OUT = {
    "nitro": "[N+](=O)[O-]",
    "cumulene": "[#6]=C=[#6,#7,#8]",
    "isocyanate": "N=C=[#6,#7,#8]",
    "peroxide": "[#8]~[#8]",
}
UNLIKELY = (
    *(
        "[#8,#7;!R]~[#8]~[#8]",
        "[#7]-[#7]-[#7]",
        "[#8]~[#7;X3;+0]~[#8]",
        "[#7]=[#7]-[#7,#8]",
        "[#8]-[#7]-[#7]",
        "N#C-[#7]-[#8]",
    ),
    *(
        "[O;X2]-[C;X4]-[O;X2]-[C;X4]-[O;X2]",
        "[OH]-[C;X4]-[OH]",
        "[NH2]-[C;X4]-[OH]",
        "[r3]=[r3]",
        "[r3]=[*]",
    ),
    *(
        "[r3;R2]",
        "[r4]=[r4]",
        "[r;!a]#[*;r]",
        "[r;!a]=[*]=[r]",
        "[R2;!a]=[*]",
        "[R3]",
        "N#[#7]",
        "[o;r]~[o;r]",
    ),
    *("[#7]~[#7]~[#7]~[#7]", "C=C=C=*", "[#8]-C#*", "[#7]-C#C", "[#8]-[#8]-[#7,#8]", "[#6]#[#7+]"),
)
#: SMILES that are in no part: the molecules of rMD17, and the one of qm7x_226.npz (C6H12).
EXCLUDED = (
    *("CC(=O)Oc1ccccc1C(=O)O", "c1ccc(N=Nc2ccccc2)cc1", "c1ccccc1", "CCO", "O=CCC=O", "OC=CC=O"),
    *(
        "c1ccc2ccccc2c1",
        "CC(=O)Nc1ccc(O)cc1",
        "O=C(O)c1ccccc1O",
        "Cc1ccccc1",
        "O=c1cc[nH]c(=O)[nH]1",
    ),
    "CC1(C)CCC1",
)
EXCLUDED_FORMULA = "C7H10O2"


def skeleton(molecule: Chem.Mol) -> str:
    """Return atoms and bonds, hydrogens included, without orders, charges and stereo, as one text."""
    plain = Chem.RWMol()
    whole = Chem.AddHs(molecule)
    for atom in whole.GetAtoms():
        one = Chem.Atom(atom.GetAtomicNum())
        one.SetNoImplicit(True)
        plain.AddAtom(one)
    for bond in whole.GetBonds():
        plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    return Chem.MolToSmiles(plain)


class Grower:
    """Grow molecules with one random generator."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._rings, self._groups = (_pieces(part) for part in (RINGS, GROUPS))

    def grown(self, n_heavy: int, beginning: Chem.Mol | None = None) -> Chem.Mol | None:
        """Return a molecule of `n_heavy` heavy atoms; None where this try came to nothing.

        It has `beginning` in it, or else an atom or a ring of `RINGS`.
        """
        molecule = Chem.RWMol()
        rings = [ring for ring in self._rings if ring.GetNumAtoms() <= n_heavy]
        if beginning is not None:
            molecule.InsertMol(beginning)
        elif rings and self._rng.random() < 0.45:
            molecule.InsertMol(self._one(rings))
        else:
            molecule.AddAtom(self._atom())
        for _ in range(3 * n_heavy):
            if molecule.GetNumAtoms() == n_heavy:
                break
            if not self._step(molecule, n_heavy - molecule.GetNumAtoms()):
                return None
        return _sane(molecule, n_heavy)

    def _step(self, molecule: Chem.RWMol, room: int) -> bool:
        free = [a.GetIdx() for a in molecule.GetAtoms() if _free(a) > 0]
        if not free:
            return False
        anchor, chance = int(self._rng.choice(free)), self._rng.random()
        if chance < 0.08:
            self._close(molecule, anchor, free)
        elif chance < 0.55:
            self._put_atom(molecule, anchor)
        else:
            pieces = self._groups if chance < 0.9 else self._rings
            pieces = [p for p in pieces if p.GetNumAtoms() <= room]
            if pieces:
                first = molecule.GetNumAtoms()
                molecule.InsertMol(self._one(pieces))
                if _free(molecule.GetAtomWithIdx(first)) > 0:
                    molecule.AddBond(anchor, first, Chem.BondType.SINGLE)
                else:
                    return False
        return True

    def _put_atom(self, molecule: Chem.RWMol, anchor: int) -> None:
        new = molecule.AddAtom(self._atom())
        most = min(_free(molecule.GetAtomWithIdx(k)) for k in (anchor, new))
        order = 1 + int(self._rng.choice(3, p=(0.78, 0.16, 0.06)))
        molecule.AddBond(anchor, new, ORDERS[min(order, most)])

    def _close(self, molecule: Chem.RWMol, anchor: int, free: list[int]) -> None:
        way = Chem.GetDistanceMatrix(molecule, force=True)
        ends = [k for k in free if 2 <= way[anchor, k] <= 5]
        if ends:
            molecule.AddBond(anchor, int(self._rng.choice(ends)), Chem.BondType.SINGLE)

    def _atom(self) -> Chem.Atom:
        return Chem.Atom(str(self._rng.choice(list(ELEMENTS), p=SHARES)))

    def _one(self, pieces: list[Chem.Mol]) -> Chem.Mol:
        return pieces[self._rng.integers(len(pieces))]


ORDERS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def _pieces(texts: tuple[str, ...]) -> list[Chem.Mol]:
    pieces = [Chem.MolFromSmiles(text) for text in texts]
    for piece in pieces:
        Chem.Kekulize(piece, clearAromaticFlags=True)
        for atom in piece.GetAtoms():
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    return pieces


def _free(atom: Chem.Atom) -> int:
    """Return the free valence of an atom; N⁺ has four bonds and O⁻ has one."""
    used = sum(round(bond.GetBondTypeAsDouble()) for bond in atom.GetBonds())
    return VALENCE[atom.GetAtomicNum()] + atom.GetFormalCharge() - used


def _sane(molecule: Chem.RWMol, n_heavy: int) -> Chem.Mol | None:
    if molecule.GetNumAtoms() != n_heavy:
        return None
    found = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    if found is None or any(found.HasSubstructMatch(pattern) for pattern in _UNLIKELY):
        return None
    if Chem.rdMolDescriptors.CalcNumRings(found) > (2 if n_heavy <= LARGEST else 3):
        return None
    return found


def group_of(molecule: Chem.Mol) -> str | None:
    """Return the first group of `LEFT_OUT` that a molecule has."""
    return next((name for name, p in _LEFT_OUT.items() if molecule.HasSubstructMatch(p)), None)


def divided(seed: int = SEED, parts: dict[str, int] | None = None) -> dict[str, list[str]]:
    """Return part -> SMILES; the same for the same arguments."""
    wanted = dict(PARTS if parts is None else parts)
    n_rings = wanted.pop("rings", 0)
    RDLogger.DisableLog("rdApp.*")
    rng = np.random.default_rng(seed)
    grower, found = Grower(rng), {part: [] for part in wanted}
    seen = {skeleton(Chem.MolFromSmiles(text)) for text in EXCLUDED}
    while any(len(found[part]) < n for part, n in wanted.items()):
        large = len(found["larger"]) < wanted["larger"] and rng.random() < 0.2
        n_heavy = int(rng.integers(10, 15)) if large else 1 + int(rng.choice(LARGEST, p=HEAVY))
        molecule = grower.grown(n_heavy)
        if molecule is None or CalcMolFormula(molecule) == EXCLUDED_FORMULA:
            continue
        group = group_of(molecule)
        part = "larger" if large else "group" if group else "train"
        if large and group:
            continue
        if (
            part == "train"
            and n_heavy >= 4
            and len(found["new"]) < wanted["new"]
            and rng.random() < 0.5
        ):
            part = "new"
        name = skeleton(molecule)
        if name in seen or len(found[part]) >= wanted[part]:
            continue
        seen.add(name)
        found[part].append(Chem.MolToSmiles(molecule))
    if n_rings:
        found["rings"] = with_rings(n_rings, seen, np.random.default_rng([seed, 1]))
    return found


def with_rings(n: int, seen: set[str], rng: np.random.Generator) -> list[str]:
    """Return the SMILES of `n` molecules of "rings", none of which has a skeleton that was seen."""
    joined = ["".join(parts) for parts in product(AROMATIC, LINKS, AROMATIC)]
    beginnings = [_pieces(texts) for texts in (FUSED, joined, CONJUGATED)]
    grower, seen, found = Grower(rng), set(seen), []
    while len(found) < n:
        some = beginnings[rng.choice(3, p=(0.5, 0.3, 0.2))]
        beginning = some[rng.integers(len(some))]
        fewest = max(LARGEST, beginning.GetNumAtoms())
        if fewest > LARGEST_OF_RINGS:
            continue
        molecule = grower.grown(int(rng.integers(fewest, LARGEST_OF_RINGS + 1)), beginning)
        if molecule is None or group_of(molecule) or CalcMolFormula(molecule) == EXCLUDED_FORMULA:
            continue
        if (name := skeleton(molecule)) not in seen:
            seen.add(name)
            found.append(Chem.MolToSmiles(molecule))
    return found


_UNLIKELY = [Chem.MolFromSmarts(text) for text in UNLIKELY]
_LEFT_OUT = {name: Chem.MolFromSmarts(text) for name, text in LEFT_OUT.items()}


def main(directory: str) -> None:
    """Write the parts."""
    path = Path(directory) / "molecules.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("part", "smiles"))
        writer.writerows((part, text) for part, texts in divided().items() for text in texts)


if __name__ == "__main__":
    main(sys.argv[1])
