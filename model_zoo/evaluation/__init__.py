"""How good what was learned is: on mixes not seen, beside measured runs, on the card."""
