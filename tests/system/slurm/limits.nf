// Tasks that exceed their limits: DRAW requests too little memory, the first EXPORT too little
// time. Names and labels are those of the pipeline's processes.

process DRAW {
    label 'process_low'

    output:
    path 'given'

    script:
    """
    echo ${task.memory.toMega()} > given
    python3 -c 'import time; held = b"x" * 3_400_000_000; time.sleep(5)'
    """
}

process EXPORT {
    label 'process_low'
    time { 1.m * task.attempt }

    output:
    path 'given'

    script:
    """
    echo ${task.time.toMinutes()} > given
    sleep ${task.attempt == 1 ? 600 : 1}
    """
}

workflow {
    DRAW()
    EXPORT()
}
