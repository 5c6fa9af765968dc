"""Our models as modules of torch, for programs that run such modules."""
