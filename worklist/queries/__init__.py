"""The only readers that scope: what an actor may see, as frozen views. Floors above never touch the tables.

Every function takes the actor first and answers nothing foreign: an id outside the scope raises `NotFound`, the
same as one that does not exist.
"""
