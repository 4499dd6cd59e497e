"""What a run is trained on: each task is data, a model, an objective and what it is judged by.

`build.build_task(config)` reads the config's `task`; the program, the loop and the commands know of
`task.Task` alone. A new task is one file here and one line in `build.TASKS`.
"""
