"""Label structures with a reference method: GFN2-xTB, density functionals, a model, or any ASE calculator."""
