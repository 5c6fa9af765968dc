"""The settings of a learning: what is asked for, and what it may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from ase_schnet.arguments import positive, temperature_of_matter, whole
from ase_schnet.labelling.methods import Reference, XTBReference
from ase_schnet.labelling.model import ModelReference
from ase_schnet.labelling.reference import read_reference
from ase_schnet.learning.aims import Aim, read_aim

#: Calls of the reference by default: of one that takes milliseconds, and of any other.
QUICK_BUDGET, DEAR_BUDGET = 1000, 150
#: The first round takes this share of the budget; the others divide the rest.
FIRST_SHARE, LATER_ROUNDS = 1 / 3, 4
#: Rounds in a row in which the model must be good enough.
IN_A_ROW = 2
#: Smallest later round, two of whose structures are random, and judge; and the smallest of more than two: ten
#: judge, and a round is worth the training of its model.
LEAST_LATER, LEAST_OF_MANY = 8, 40
#: Fewer structures than this, and than so many for each member, train no ensemble that could be asked what to
#: label next.
SMALLEST_ROUND, LEAST_PER_MEMBER = 20, 4
#: Share of every round that is drawn at random from what the model is for; it judges, and nothing was chosen
#: in it. With a pretraining half: the cheap method knows what is far from rest.
RANDOM_SHARE, RANDOM_SHARE_PRETRAINED = 0.25, 0.5


@dataclass(frozen=True)
class LearnSettings:
    """Hold what is asked of a learning.

    Attributes
    ----------
    reference
        The method to be learnt, as :func:`~ase_schnet.labelling.reference.read_reference` knows it.
    temperature_K
        Temperature of the dynamics that the model is for, K.
    goal_force_meV_per_Ang
        Mean absolute error of a force component on structures of that dynamics, and of that of `toward`,
        meV/Å.
    budget
        Structures that may be given to the reference; None: 1000 for xTB and models, 150 for any other.
    toward
        What else the model is for, as texts that :func:`~ase_schnet.learning.aims.read_aim` knows.
    cheap
        Method that makes the first structures and pretrains (molecules alone); None: nothing does.
    life_ps
        Length of the runs that the model must survive, ps.
    start_from
        Model whose weights the members start from, in the first round and in the training of the end; its
        name or path. Nothing pretrains then. None: random weights.
    members
        Networks of the ensemble.
    round_steps, last_steps
        Steps of the fit of a member in a round, and in the training of the end (without a pretraining).
    seed
        Of all random numbers.

    Raises
    ------
    ValueError
        For impossible values, and texts that name no method or aim.
    """

    reference: str = "gfn2-xtb"
    temperature_K: float = 500.0
    goal_force_meV_per_Ang: float = 20.0
    budget: int | None = None
    toward: tuple[str, ...] = ()
    cheap: str | None = "gfn2-xtb"
    life_ps: float = 5.0
    start_from: str | None = None
    members: int = 5
    round_steps: int = 8_000
    last_steps: int = 38_000
    seed: int = 0

    def __post_init__(self):
        positive("temperature_K", self.temperature_K)
        temperature_of_matter("twice temperature_K", 2 * self.temperature_K)
        positive("goal_force_meV_per_Ang", self.goal_force_meV_per_Ang)
        positive("life_ps", self.life_ps)
        whole("members", self.members, 2)
        whole("round_steps", self.round_steps, 1)
        whole("last_steps", self.last_steps, 1)
        whole("seed", self.seed, 0)
        if self.budget is not None:
            sizes_of_rounds([whole("budget", self.budget, 1)], self.members)
        self.aims()

    def aims(self) -> list[Aim]:
        """Return what the model is for, besides dynamics at `temperature_K`."""
        return [read_aim(text) for text in self.toward]

    def to_dict(self) -> dict:
        """Return plain types, for files; without a start those of a version that knew none."""
        told = asdict(self)
        if self.start_from is None:
            told.pop("start_from")
        return told


@dataclass(frozen=True)
class Methods:
    """Hold the methods of a learning.

    Attributes
    ----------
    reference
        What is learnt.
    sampler
        Moves the atoms before there is a model; None: structures are displaced at random.
    pretrains
        Whether the sampler teaches the members the shape of the surface.
    """

    reference: Reference
    sampler: Reference | None
    pretrains: bool

    @classmethod
    def of(cls, settings: LearnSettings, *, periodic: bool) -> Methods:
        """Return the methods that settings ask for; of crystals and quick references, no other one.

        Raises
        ------
        ValueError
            For a method that is unknown or not installed, and a cheap one that is the reference.
        """
        reference = read_reference(settings.reference)
        quick = isinstance(reference, (XTBReference, ModelReference))
        if quick:
            return cls(reference, reference, False)
        if settings.cheap is None or periodic:
            return cls(reference, None, False)
        cheap = read_reference(settings.cheap)
        if cheap.identity == reference.identity:
            raise ValueError(
                f"the cheap method is the reference, {reference.text}: give another one, or none"
            )
        return cls(reference, cheap, settings.start_from is None)

    @property
    def random_share(self) -> float:
        """Share of every round that is drawn at random."""
        return RANDOM_SHARE_PRETRAINED if self.pretrains else RANDOM_SHARE

    @property
    def chooses_by_doubt(self) -> bool:
        """Whether uncertainty and distance choose the rest; else it is drawn from hotter runs."""
        return not self.pretrains

    @property
    def how_chosen(self) -> str:
        """Return words for how structures are chosen."""
        drawn = f"{100 * self.random_share:g} % are drawn at random from what the model is for"
        rest = (
            "the rest are those that teach most"
            if self.chooses_by_doubt
            else "the rest from hotter runs"
        )
        return f"{drawn}, {rest}"

    @property
    def kept_rounds(self) -> int:
        """How many rounds' judges are kept out of a fit; of dear labels no more than error bars need."""
        return 1 if self.pretrains else 2

    @property
    def is_quick(self) -> bool:
        """Whether a label takes milliseconds."""
        return self.sampler is self.reference


def sizes_of_rounds(
    budgets: Sequence[int], members: int, least_of_many: int = LEAST_OF_MANY
) -> list[int]:
    """Return the number of structures of each round, for a budget and what it was raised to.

    Parameters
    ----------
    budgets
        The budgets, one after the other.
    members
        Networks that are trained on the first round.
    least_of_many
        Smallest of more than two later rounds; of a learning of an older version LEAST_LATER.

    Raises
    ------
    ValueError
        If a budget is smaller than the first round must be.
    """
    budget, smallest = budgets[0], max(SMALLEST_ROUND, LEAST_PER_MEMBER * members)
    if budget < smallest:
        raise ValueError(
            f"a budget of {budget} structures is smaller than the first round, which needs {smallest} for "
            f"{members} members"
        )
    first = max(smallest, round(FIRST_SHARE * budget))
    parts, rest = [budget], budget - first
    if rest >= LEAST_LATER:
        parts = [first, *_equal_parts(rest, _later_rounds(rest, least_of_many))]
    for before, after in pairwise(budgets):
        parts += _equal_parts(after - before, _later_rounds(after - before, least_of_many))
    return parts


def _later_rounds(n: int, least_of_many: int) -> int:
    two = min(IN_A_ROW, n // LEAST_LATER)  # or the goal could not be met so often
    return max(1, two, min(LATER_ROUNDS, n // least_of_many))


def _equal_parts(total: int, n: int) -> list[int]:
    each, more = divmod(total, n)
    return [each + (k < more) for k in range(n)]
