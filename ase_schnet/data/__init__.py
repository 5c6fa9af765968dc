"""Read labelled structures from files into package units; pack, check and divide them."""
