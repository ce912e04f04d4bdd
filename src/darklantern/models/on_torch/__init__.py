"""The torch side of `models/`: plans over forward hooks and attention taps that last only as long as a run.

`model` is what a user holds. `ports/` says where each port's value passes; `program` turns a plan into what
each module has to do; `hub` keeps the hooks; `running` is one run's state.
"""
