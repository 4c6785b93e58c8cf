#!/usr/bin/env nextflow

// Cellquilt: an OME-TIFF in, matched cell and nucleus masks out; or labelled images in, networks out. The flow of each mode is in workflows/.

include { checkParameters } from './workflows/options'
include { SEGMENTATION    } from './workflows/segment'
include { TRAINING        } from './workflows/train'
include { BENCHMARK       } from './workflows/benchmark'

workflow {
    def options = checkParameters(params, file("${projectDir}/nextflow_schema.json"))

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
        .toSortedList()
        .subscribe { versions -> file("${options.outdir}/pipeline_info/software_versions.yml").text = versions.join('\n') + '\n' }
}
