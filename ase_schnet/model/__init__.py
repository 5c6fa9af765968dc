"""SchNet in torch: functions of a batch of structures, used for learning (left of the model directory)."""
