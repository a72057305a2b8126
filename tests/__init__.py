"""The tests mirror the product; what several of them use is in support/."""
