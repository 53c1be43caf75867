"""A notebook in JupyterLab and a real browser: it runs from top to bottom, and its controls and exercises answer."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from t2i_helpers.paths import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")

NOTEBOOK = "01_mnist_cfg"
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab whose notebooks are copies."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("*.py", ".*"))
    (folder / "figures").symlink_to(ROOT / "figures")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--allow-root",
               f"--notebook-dir={folder}", "--LabApp.expose_app_in_browser=True", "--IdentityProvider.token=",
               "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    settings = {"T2I_SIZE": "smoke", "OMP_NUM_THREADS": "1", "JUPYTER_CONFIG_DIR": str(folder / "config"),
                "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"), "T2I_HOME": str(folder / "home")}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | settings)
    try:
        for line in server.stderr:
            if address := re.search(r"http://\S*:\d+/lab\b", line):
                break
        yield address[0]
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def page(lab):
    """The notebook, opened and run from top to bottom."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(120_000)
        page.goto(f"{lab}/tree/notebooks/{NOTEBOOK}.ipynb")
        page.wait_for_function(IDLE)
        page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        yield page
        browser.close()


def cells(page):
    """The code cells as Jupyter saves them."""
    saved = page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON()")
    return [cell for cell in saved["cells"] if cell["cell_type"] == "code"]


def show_cell(page, text):
    """Scroll to the cell whose source contains `text`; the element of its output."""
    page.evaluate("""async text => {
        const notebook = jupyterapp.shell.currentWidget.content;
        const index = notebook.widgets.findIndex(cell => cell.model.sharedModel.getSource().includes(text));
        notebook.activeCellIndex = index;
        await notebook.scrollToCell(notebook.widgets[index], 'start');
    }""", text)
    return page.locator(".jp-Cell.jp-mod-active .jp-Cell-outputArea")


def run_cell(page, source):
    """Run `source` in the cell that was scrolled to."""
    page.evaluate("""async source => {
        jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource(source);
        await jupyterapp.commands.execute('notebook:run-cell');
    }""", source)


def test_the_notebook_runs_from_top_to_bottom_without_an_error(page):
    executed = cells(page)
    assert len(executed) > 30 and all(cell["execution_count"] for cell in executed)
    assert not [output for cell in executed for output in cell["outputs"] if output["output_type"] == "error"]
    pictures = [output for cell in executed for output in cell["outputs"]
                if {"image/png", "image/jpeg"} & output.get("data", {}).keys()]
    assert len(pictures) >= 10


def test_a_key_on_a_slider_changes_the_picture(page):
    output = show_cell(page, "explorers.schedule_explorer(")
    picture, handle = output.locator("img").first, output.locator(".widget-slider .noUi-handle").first
    before = picture.get_attribute("src")
    handle.focus()
    page.keyboard.press("End")
    sync_api.expect(picture).not_to_have_attribute("src", before, timeout=30_000)
    sync_api.expect(output.locator(".widget-readout").first).to_have_text("999")


def test_an_exercise_is_answered_in_the_page(page):
    output = show_cell(page, 'check("1.1"')
    sync_api.expect(output).to_contain_text("no answer yet")
    run_cell(page, 't = int((alphas_cumprod - 0.5).abs().argmin())\ncheck("1.1", t)')
    sync_api.expect(output).to_contain_text("right")


def test_a_stroke_of_the_mouse_changes_the_picture(page):
    output = show_cell(page, 'check("1.2"')
    run_cell(page, 'explorers.sdedit_explorer(pipes["improved"], 4)')
    picture, square = output.locator("img").first, output.locator("canvas")
    sync_api.expect(square).to_be_visible()
    before, box = picture.get_attribute("src"), square.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 120, steps=10)
    page.mouse.up()
    sync_api.expect(picture).not_to_have_attribute("src", before, timeout=30_000)
    bright = square.evaluate("each => each.getContext('2d').getImageData(85, 120, 1, 1).data[0]")
    assert bright == 255
