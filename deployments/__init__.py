"""Blocks, pools, deployments and the local stack."""
