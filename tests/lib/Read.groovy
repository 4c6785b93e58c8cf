import groovy.json.JsonSlurper
import groovy.xml.XmlSlurper
import java.util.zip.ZipFile

/** Reads the files of the pipeline. */
class Read {
    /** Rows of a CSV, each a map from column to text; no value may contain a comma or a line break. */
    static List<Map<String, String>> csv(String path) {
        def lines = new File(path).readLines()
        def columns = lines.head().split(',')
        return lines.tail().collect { line ->
            [columns, line.split(',', -1)].transpose().collectEntries()
        }
    }

    /** Size in pixels, pixel size in um and channels of an OME-TIFF. */
    static Map ome(String path) {
        def text = new File(path).getText('ISO-8859-1')
        def xml = text[text.indexOf('<OME ')..<text.indexOf('</OME>')] + '</OME>'
        def pixels = new XmlSlurper().parseText(xml).Image.Pixels
        return [
            height: pixels.@SizeY.toInteger(),
            width: pixels.@SizeX.toInteger(),
            type: pixels.@Type.text(),
            mpp: pixels.@PhysicalSizeX.toBigDecimal(),
            channels: pixels.Channel.collect { channel -> channel.@Name.text() },
        ]
    }

    /** Attributes of a zarr archive's group, or of the array of that name. */
    static Map store(String path, String name = '') {
        return new ZipFile(path).withCloseable { zip ->
            def entry = zip.getEntry(name ? "${name}/zarr.json" : 'zarr.json')
            assert entry : "${path} has no ${name}"
            new JsonSlurper().parse(zip.getInputStream(entry))
        }
    }

    /** Names of the files of a list of paths, sorted. */
    static List<String> names(List<String> paths) {
        return paths.collect { path -> new File(path).name }.sort()
    }

    /** Names of a sample's label images, sorted. */
    static List<String> masks(String results) {
        def folder = new File(results, "segmentation/mesmer-${new File(results).name}")
        return names(folder.list().toList()).collect { name -> name - '.ome.tif' }
    }
}
