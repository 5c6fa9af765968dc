"""What the machine does for us: files, locks, processes, progress. Nothing here knows of atoms.

files, kept_settings
    a file is replaced as a whole; work that goes on was begun with the same settings
locks
    one process at a time works somewhere
processes, cores, forks
    many processes do one work; how many cores there are; what a fork leaves
progress, refusals
    what is said meanwhile; which errors are for the user
"""
