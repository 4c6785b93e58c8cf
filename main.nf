#!/usr/bin/env nextflow

// Cellquilt: an OME-TIFF in, matched cell and nucleus masks out; or labelled images in, networks out. The flow of each mode is in workflows/.

include { checkParameters } from './workflows/options'
include { SEGMENTATION    } from './workflows/segment'
include { TRAINING        } from './workflows/train'
include { BENCHMARK       } from './workflows/benchmark'

workflow {
    def options = checkParameters(params, workflow.commandLine, file("${projectDir}/nextflow_schema.json"))

    if (options.mode == 'train') {
        TRAINING(options)
    }
    else if (options.mode == 'benchmark') {
        BENCHMARK(options)
    }
    else {
        SEGMENTATION(options)
    }

    channel.topic('versions')
        .map { process, tool, version -> "${process.tokenize(':').last()}:\n  ${tool}: '${version}'" }
        .unique()
        .collectFile(name: 'software_versions.yml', storeDir: "${options.outdir}/pipeline_info", newLine: true, sort: true)
}
