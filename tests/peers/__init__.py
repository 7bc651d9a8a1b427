"""Real programs that the tests talk to, each started on a free loopback port with a folder of its own.

A program that is missing fails the test with a sentence that says what to install; nothing is skipped.
"""
