"""Parameters from data: the loss, one fit, and the cross-validation that makes an ensemble."""
