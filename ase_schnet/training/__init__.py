"""Parameters from data: the loss, one fit, and the cross-validation that makes an ensemble.

    recipe, settings, loss_weights
        what is trained and how; as one table of names: hyperparameters
    start, electrons, cutoff
        what members begin from; charge and multiplicity; a cutoff that is refused
    batches, streaming, stored
        structures as tensors, from memory or from the file of the training
    loss, metrics, offsets
        what a fit minimises and reports; the constant that forces leave open
    optimizers, muon, orthogonal, uncompiled, parameters
        which weights move, and how
    trainer, run, checkpoint, result
        one fit: its epochs, its state on disk, how it ends
    fold, distributed, workers
        one member as a job, shared by processes, or several side by side
    crossval, workdir, changes
        all members, their files, and whether these may go on
    card, verdict, length
        what the model directory says of the training
    report, description, log, progress
        the same in words, and while it goes on

CONTRIBUTING.md says which formula is where.
"""
