"""`polar.launch` with the stand-in program, for test_launch.py."""

from polar import launch

launch.PROGRAMS.update(PolarPretrain="gang_program")
launch.main()
