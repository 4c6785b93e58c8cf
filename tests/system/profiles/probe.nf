// Tasks that write down their resources, and exit with given codes, one per attempt. Names and
// labels are those of the pipeline's processes.

def given(task) {
    def size = [cpus: task.cpus, memory: task.memory.toGiga(), hours: task.time.toHours()]
    def gpu = task.accelerator ? [task.accelerator.request, task.accelerator.type] : null
    def place = [queue: task.queue, machine: task.machineType, options: task.containerOptions]
    def own = [args: task.ext.args, environment: task.ext.environment]
    return groovy.json.JsonOutput.toJson([process: task.process, attempt: task.attempt, gpu: gpu] + size + place + own)
}

process SEGMENT {
    label 'process_medium'
    label 'process_gpu'

    input:
    val codes

    script:
    """
    echo '${given(task)}' > given.json
    exit ${codes[task.attempt - 1] ?: 0}
    """
}

process DRAW {
    label 'process_low'

    input:
    val codes

    script:
    """
    echo '${given(task)}' > given.json
    exit ${codes[task.attempt - 1] ?: 0}
    """
}

process EXPORT {
    label 'process_low'

    input:
    val codes

    script:
    """
    echo '${given(task)}' > given.json
    exit ${codes[task.attempt - 1] ?: 0}
    """
}

workflow {
    def codes = params.codes.toString().tokenize(',')
    SEGMENT(channel.of(codes, [], []))
    DRAW(channel.of(codes))
    EXPORT(channel.of([]))
}
