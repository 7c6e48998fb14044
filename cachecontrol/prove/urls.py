from django.urls import path

from cachecontrol.prove import views

urlpatterns = [path("shelf/<int:pk>/", views.shelf), path("item/<int:pk>/", views.item)]
handler500 = views.broken
