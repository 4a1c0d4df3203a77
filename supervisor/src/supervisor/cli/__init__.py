"""The command line. commands.py knows the commands, each module below carries out some of them.

What a command needs is imported when it runs: most are asked often and should answer at once, and `run` lives in little
memory.
"""
