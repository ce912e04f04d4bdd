"""The torch side of `models/`: plans over forward hooks and attention taps that last only as long as a run.

`opened` is what a user holds, and `executing` runs it. `ports/` says where each port's value passes; `building`
turns a plan into a `program` of what each module has to do; `placing` puts hooks on and takes them off, `hub` is what
they do and whom they serve; `running` is one run, `stepping` one of many steps, `starting` one from a block;
`lasting` is what stays for a backward pass that computes again.
"""
