#!/usr/bin/env nextflow

// Cellquilt: an OME-TIFF in, matched cell and nucleus masks out; or labelled images in, networks out. The flow of each mode is in workflows/.

include { checkParameters ; warnOfProfile } from './workflows/options'
include { addPublished ; closeRecords ; openRecords } from './workflows/published'
include { refusedText ; versionsOf } from './workflows/summaries'
include { REFUSE          } from './modules/refuse/main'
include { SEGMENTATION    } from './workflows/segment'
include { TRAINING        } from './workflows/train'
include { BENCHMARK       } from './workflows/benchmark'
include { CHECKING        } from './workflows/check'

workflow {
    def options = checkParameters(params, workflow.commandLine, file("${projectDir}/nextflow_schema.json"))
    warnOfProfile()

    // What is published, and by which run
    def records = openRecords(options)
    channel.topic('published').subscribe { meta, files -> addPublished(records, meta, files) }
    channel.topic('published_of_run').subscribe { files -> addPublished(records, [id: ''], files) }
    def end = [:].asSynchronized()
    workflow.onComplete = { closeRecords(records, workflow.success ? [] : end.refused) }

    if (options.mode == 'train') {
        TRAINING(options)
    }
    else if (options.mode == 'benchmark') {
        BENCHMARK(options)
    }
    else if (options.mode == 'check') {
        CHECKING(options)
        REFUSE(CHECKING.out.refusal)
    }
    else {
        SEGMENTATION(options)
        REFUSE(
            SEGMENTATION.out.refusals
                .map { refusals ->
                    end.refused = refusals*.sample.toSet()
                    refusals
                }
                .filter { refusals -> refusals }
                .map { refusals -> refusedText(refusals, options.outdir) }
        )
    }

    // A check leaves the files of earlier runs alone
    if (options.mode != 'check') {
        channel.topic('versions')
            .unique()
            .toSortedList { a, b -> a.toString() <=> b.toString() }
            .subscribe { versions ->
                // A folder that Nextflow makes only if it writes reports
                def folder = file("${options.outdir}/pipeline_info")
                folder.mkdirs()
                folder.resolve('cellquilt_software_mqc_versions.yml').text = versionsOf(versions)
            }
    }
}
