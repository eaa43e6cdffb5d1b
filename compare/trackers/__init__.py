"""Trackers: plug-ins that watch a run and tell a tool of their own about it. TensorBoard's is included.

tracker      what a tracker is, for who writes one
loading      finding trackers by name among the installed packages
guarded      calling them so that the proof does not depend on them
tensorboard  the one for TensorBoard
"""
