"""Figures in one style: a module per part of the study, all standing on `style`."""
