"""What stands between a calculator and the engine: pairs, error bars, the watch over training."""
