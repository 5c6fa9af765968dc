"""What the implementation report's Tables 2 and 7 say of five molecules, kcal/mol and kcal/mol/Å."""

BASELINE, TABLE_2, TABLE_7, SCHNET = range(4)
#: By task and molecule: the report's baseline and its SchNet (Table 2: 10 000 frames, 2 epochs), its SchNet
#: after more training (Table 7: 50 000 frames, 10 epochs), and the SchNet paper's as Table 7 quotes it.
PUBLISHED = {
    "energies": {
        "ethanol": (2.50e4, 1.14e3, 114, 0.07),
        "aspirin": (2.71e3, 6.16e3, 1440, 0.25),
        "benzene": (1.26e5, 4.14e3, 174, 0.08),
        "toluene": (7.93e4, 1.37e3, 936, 0.16),
        "uracil": (7.69e4, 3.37e3, 1650, 0.13),
    },
    "forces": {
        "ethanol": (18.02, 4.00, 0.86, 0.05),
        "aspirin": (19.53, 5.94, 1.25, 0.33),
        "benzene": (10.94, 1.07, 0.38, 0.17),
        "toluene": (19.52, 2.78, 0.87, 0.09),
        "uracil": (20.05, 3.66, 1.16, 0.11),
    },
    "both": {  # the paper has no such figure: Table 7 repeats its force errors here
        "ethanol": (5.86e7, 515, 344, None),
        "aspirin": (2.58e7, 5.20e3, 868, None),
        "benzene": (4.99e8, 680, 22, None),
        "toluene": (8.97e7, 1.18e3, 159, None),
        "uracil": (1.15e8, 2.07e3, 380, None),
    },
}
