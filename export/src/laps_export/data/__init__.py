"""Training clips for camera motion, synthesised from photographs through a camera model.

camera_motion  what the camera can do, in output order
photographs    which photographs there are, and which split each belongs to
pyramid        a photograph, shrunk and in levels, ready to be looked at
textures       procedural pictures beside the photographs
timing         which moments of a video a clip shows, as the server samples it
motion_script  what the camera does in one clip: a path over time and a label for every frame
camera         a path to homographies
scene          background and independent objects, rendered through the homographies
degrade        exposure, noise, blur, bars, overlays
codec          real video compression
crop           a video's frame to a square, as the server does it
symmetry       flips and reversals that turn one motion into another
clips          all of it together, by seed
batches        clips as an endless stream that a loader's workers share
settings       what clips and batches are like
sources        where photographs come from
arrays         names for the arrays in between
"""
