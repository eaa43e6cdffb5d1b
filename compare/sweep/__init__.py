"""Sweeps: a grid of runs, in parallel on this machine or on a cluster, that may be broken off and started again.

grid       reading a sweep's file: what varies, what all cells share
cells      the cells of a grid: every one a complete experiment
backends   where cells are run: loky on this machine, Dask or Ray by name
worker     what a worker does with one cell: run it in a process of its own, and say what became of it
process    that process
sweep      running what is not finished yet, and keeping sweep.json
summary    the cells' results, put together over the seeds
"""
