#!/usr/bin/env nextflow

// Cellquilt: an OME-TIFF in, matched cell and nucleus masks out; or labelled images in, networks out. The flow of each mode is in workflows/.

include { checkParameters } from './workflows/options'
include { SEGMENTATION    } from './workflows/segment'
include { TRAINING        } from './workflows/train'
include { BENCHMARK       } from './workflows/benchmark'
include { versionsOf      } from './workflows/summaries'

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
        .unique()
        .toSortedList { a, b -> a.toString() <=> b.toString() }
        .subscribe { versions -> file("${options.outdir}/pipeline_info/cellquilt_software_mqc_versions.yml").text = versionsOf(versions) }
}
