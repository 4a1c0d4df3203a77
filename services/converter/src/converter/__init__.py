"""Minecraft Java mod to Bedrock add-on, as a library (`inspect_jar`, `convert`) and a command (`modporter`)."""

from converter.errors import BadFile, BadJar, ConverterError, GateFailed, ToolMissing
from converter.inspection import JarSummary, inspect_jar
from converter.options import Limits, Options
from converter.pipeline import Progress, Result, convert

__all__ = [
    "BadFile",
    "BadJar",
    "ConverterError",
    "GateFailed",
    "JarSummary",
    "Limits",
    "Options",
    "Progress",
    "Result",
    "ToolMissing",
    "convert",
    "inspect_jar",
]
