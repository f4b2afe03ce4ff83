"""Video Swin: attention within windows of a clip's space and time that shift from block to block."""
