"""Switchovers of real servers, judged by what clients wrote down of them."""
