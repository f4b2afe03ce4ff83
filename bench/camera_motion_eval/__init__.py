"""Evaluation of a camera-motion model on encoded files, made without a line of the training's code.

python -m bench.camera_motion_eval.make --photographs LIST --out FOLDER
python -m bench.camera_motion_eval.score --files FOLDER --url http://127.0.0.1:8000 --model camera-motion
"""
