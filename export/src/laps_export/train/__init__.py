"""Training of the camera-motion models: where weights start, how they are learned, how good they are.

recipe      the whole run as one function: photographs in, scored and calibrated weights out
initialise  starting weights; its parts are tokens (what a token says) and products (what changed)
loop        batches to weights, with a log, checkpoints and validation on the way
scoring     accuracy, confusion, calibration
command     `laps-export train` and `laps-export photographs`
"""
