"""Nextflow's syntax parsers, as the environment chooses them: that of 25.04, and that of 26.

Nextflow 25.04 has the second, too, but with it its configuration knows no option of the command
line outside of closures, and -resume does not see that a task's arguments have changed
(nextflow-io/nextflow#6377 and #6695, mended since). Tests of these need the first.
"""

V1 = {"NXF_SYNTAX_PARSER": "v1"}
V2 = {"NXF_SYNTAX_PARSER": "v2"}
