"""What a library's user calls, a file and a small class for each subject.

In: calls. Out: values. Each class rests on the desk, decides by the functions of the rooms around, and steps once.
"""
