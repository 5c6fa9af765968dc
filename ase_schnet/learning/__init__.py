"""From a structure to a trusted model: explore, choose, label, train, and judge, round after round.

  ┌──────────────────────────────────────────────────────────┐
  ▼                                                          │
explore ─► choose ─► label ─► judge the last model ─► train ─┘   until it is good enough, twice in a row
"""
