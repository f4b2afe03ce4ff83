"""Training of the camera-motion models: how weights are learned, how good they are.

train_model     the whole run as one function: photographs in, scored and calibrated weights out; and their export
settings        what a run takes, and every default of it
motion_outputs  the labels, as a family's starting weights need them
loop            batches to weights, with a log, checkpoints and validation on the way
run_state       a run at one moment, and how it goes on
evaluation      clips that are kept, and a model's logits on them
scoring         accuracy, confusion, calibration
"""
