"""Where a model or a calculator can be trusted."""
