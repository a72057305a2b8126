"""Containers that run until they are ended: this folder stands for our image's."""
