"""Runs a program that reads hostile input so that it can harm nothing but its own result."""
