"""From an inventory and a pair to flags, admission, expectation and the rules behind them."""
