"""The settings of a fit: optimiser, schedule, and their defaults."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

#: Default learning rate of a training that starts from a model.
FINE_TUNING_RATE = 5e-4
LARGEST_RATE = 1e30  # float32 holds no weight that is changed so much
NO_CLIPPING = 1e308  # in place of infinity, which the card of a model cannot hold
WARMUP_STEPS = 100  # until then the second moments of Adam are poor estimates


@dataclass(frozen=True)
class FitSettings:
    """Hold the settings of a fit.

    Attributes
    ----------
    epochs
        Passes over the training part.
    batch_size
        Structures per step.
    learning_rate
        Of Adam, at its highest; that of Muon is ten times larger.
    optimizer
        "muon": Muon for the matrices of the dense layers, Adam for the rest. "adam": Adam for all, as in the
        SchNet paper.
    schedule
        Of the learning rate. "cosine": to zero over all epochs, after a short warm-up. "exponential": ×0.96
        every 100 000 steps, as in the SchNet paper.
    weight_decay
        Share of itself that a weight loses per step and learning rate, decoupled from the gradient as in
        AdamW. The learning rate is that of Adam, for the matrices of Muon too: so one value means the same
        decay with both. It acts on the matrices of the dense layers; biases, embedding and trained Gaussians
        are exempt.
    ema_decay
        Of the running average of the weights, per step.
    clip_norm
        Largest length of the gradient; infinite: any.
    patience
        Epochs without a better validation loss after which the fit stops and goes back to the best; 0 never
        stops early and keeps the last.
    seed
        Of the weights at the start and of the order of the structures.
    """

    epochs: int = 500
    batch_size: int = 10
    learning_rate: float = 1e-3
    optimizer: str = "muon"
    schedule: str = "cosine"
    weight_decay: float = 0.0
    ema_decay: float = 0.99
    clip_norm: float = 10.0
    patience: int = 0
    seed: int = 0

    def __post_init__(self):
        for name, smallest in (("epochs", 1), ("batch_size", 1), ("patience", 0), ("seed", 0)):
            value = getattr(self, name)
            if not value >= smallest:
                raise ValueError(f"{name}={value}: it must be at least {smallest}")
            if value != value // 1:
                raise ValueError(f"{name}={value}: it must be a whole number")
            object.__setattr__(self, name, int(value))
        if not 0 < self.learning_rate < LARGEST_RATE:
            raise ValueError(
                f"learning rate must be positive and below {LARGEST_RATE:g}, got {self.learning_rate}"
            )
        if self.optimizer not in ("muon", "adam"):
            raise ValueError(f"optimizer must be 'muon' or 'adam', got {self.optimizer!r}")
        if self.schedule not in ("cosine", "exponential"):
            raise ValueError(f"schedule must be 'cosine' or 'exponential', got {self.schedule!r}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight decay must be at least 0, got {self.weight_decay}")
        if self.weight_decay * self.learning_rate >= 1:
            raise ValueError(
                f"weight decay {self.weight_decay:g} takes all of a weight in one step at the learning rate "
                f"{self.learning_rate:g}: it must be below {1 / self.learning_rate:g}; 0.01 is usual"
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema decay must be in [0, 1), got {self.ema_decay}")
        if not self.clip_norm > 0:
            raise ValueError(f"clip norm must be positive, got {self.clip_norm}")
        object.__setattr__(self, "clip_norm", min(self.clip_norm, NO_CLIPPING))

    def to_dict(self) -> dict:
        """Return plain types, ready for JSON."""
        return asdict(self)

    def rate(self, step: int, total_steps: int) -> float:
        """Return the learning rate of optimiser step `step`."""
        if self.schedule == "exponential":
            return self.learning_rate * 0.96 ** (step // 100_000)
        warmup = min(1.0, (step + 1) / WARMUP_STEPS)
        return self.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / total_steps))
